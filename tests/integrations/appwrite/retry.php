<?php
// Sends what failed once more, as Appwrite's command "queue-retry" does: php retry.php PORT

$redis = new Redis();
$redis->connect('127.0.0.1', (int) $argv[1]);

while (($pid = $redis->rPop('utopia-queue.failed.v1-certificates')) !== false) {
    $job = json_decode($redis->get("utopia-queue.jobs.v1-certificates.$pid"), true, flags: JSON_THROW_ON_ERROR);
    if (!is_array($job['payload']) || !is_int($job['timestamp']) || !is_string($job['queue'])) {
        throw new TypeError('the command would stop here');
    }
    $redis->lPush('utopia-queue.queue.v1-certificates', json_encode([
        'pid' => uniqid(more_entropy: true),
        'queue' => $job['queue'],
        'timestamp' => time(),
        'payload' => $job['payload'],
    ]));
}
