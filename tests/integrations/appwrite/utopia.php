<?php
// Puts messages on the queue v1-certificates as utopia-php/queue does: php utopia.php PORT COUNT-OR-PAYLOADS
//
// Redis is on this machine, or where _APP_REDIS_HOST says.
// A number stands for so many domains of their own, a JSON list for payloads as they are.

[, $port, $what] = $argv;
$redis = new Redis();
$redis->connect(getenv('_APP_REDIS_HOST') ?: '127.0.0.1', (int) $port);

$payloads = is_numeric($what)
    ? array_map(fn ($number) => [
        'project' => ['$id' => 'console', '$sequence' => 1, 'database' => ''],
        'domain' => ['domain' => "site-$number.localhost", 'domainType' => 'site'],
        'skipRenewCheck' => false,
        'validationDomain' => null,
        'action' => 'generation',
    ], range(1, (int) $what))
    : json_decode($what, true, flags: JSON_THROW_ON_ERROR);

foreach ($payloads as $payload) {
    $redis->lPush('utopia-queue.queue.v1-certificates', json_encode([
        'pid' => uniqid(more_entropy: true),
        'queue' => 'v1-certificates',
        'timestamp' => time(),
        'payload' => $payload,
    ]));
}
