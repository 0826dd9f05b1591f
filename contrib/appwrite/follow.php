<?php
// Reads certworker's events and updates Appwrite's documents: php follow.php documents.php
//
// The file in the argument returns an object that writes the documents (interface Documents). With --once, the
// script ends after the last event.

interface Documents
{
    /**
     * Writes the certificate of $domain, with the attributes domain, issueDate, renewDate, attempts and logs, and
     * the status of its rule: verifying, verified or unverified. After a crash, the same call may come again.
     */
    public function update(string $domain, array $certificate, string $status): void;
}

const STREAM = 'certworker:events';
const PLACE = 'certworker:appwrite:documents'; // the id of the last processed event

function status(array $event): ?string
{
    $serves = $event['not_after'] !== null && strtotime($event['not_after']) > time();
    return match ($event['state']) {
        'issued', 'imported', 'kept', 'covered' => 'verified',
        'waiting' => $serves ? 'verified' : 'verifying',
        'failed', 'paused', 'moved' => $serves ? 'verified' : 'unverified', // the certificate stays in service
        default => null, // removed: the core has deleted its documents
    };
}

function write(array $event, Documents $documents): void
{
    if (($status = status($event)) === null) {
        return;
    }
    $reason = $event['code'] === '' ? '' : "[{$event['code']}] {$event['message']} {$event['remedy']}\n";
    foreach ($event['names'] as $domain) {
        $documents->update($domain, [
            'domain' => $domain,
            'issueDate' => $event['issue_date'],
            'renewDate' => $event['renew_date'],
            'attempts' => $event['attempts'],
            'logs' => $reason . $event['logs'],
        ], $status);
    }
}

function connected(): Redis
{
    $redis = new Redis();
    $redis->connect(getenv('_APP_REDIS_HOST') ?: 'redis', (int) (getenv('_APP_REDIS_PORT') ?: 6379));
    if ($password = getenv('_APP_REDIS_PASS')) {
        $redis->auth([getenv('_APP_REDIS_USER') ?: 'default', $password]);
    }
    $redis->setOption(Redis::OPT_READ_TIMEOUT, -1);
    return $redis;
}

function follow(Redis $redis, Documents $documents, bool $once): void
{
    $place = $redis->get(PLACE) ?: '0';
    do {
        $found = $redis->xRead([STREAM => $place], 100, $once ? 1 : 5000) ?: [];
        foreach ($found[STREAM] ?? [] as $place => $fields) {
            try {
                write(json_decode($fields['event'], true, flags: JSON_THROW_ON_ERROR), $documents);
            } catch (JsonException) {
                fwrite(STDERR, "event $place is not JSON and is skipped\n");
            }
            $redis->set(PLACE, $place);
        }
    } while ($found || !$once);
}

$documents = require $argv[1] ?? __DIR__ . '/documents.php';
follow(connected(), $documents, in_array('--once', $argv, true));
