<?php
// Puts jobs on the queue v1-certificates as php-resque and its scheduler do: php resque.php PORT DOMAIN [MOMENT]
//
// Redis is on this machine, or where _APP_REDIS_HOST says.

[, $port, $domain] = $argv;
$redis = new Redis();
$redis->connect(getenv('_APP_REDIS_HOST') ?: '127.0.0.1', (int) $port);

$arguments = [['document' => [], 'domain' => $domain, 'validateTarget' => false, 'validateCNAME' => false]];
if (isset($argv[3])) {
    $redis->rPush("resque:delayed:$argv[3]", json_encode([
        'args' => $arguments, 'class' => 'CertificatesV1', 'queue' => 'v1-certificates',
    ]));
    $redis->zAdd('resque:delayed_queue_schedule', (int) $argv[3], $argv[3]);
} else {
    $redis->sAdd('resque:queues', 'v1-certificates');
    $redis->rPush('resque:queue:v1-certificates', json_encode([
        'class' => 'CertificatesV1',
        'args' => $arguments,
        'id' => md5(uniqid('', true)),
        'queue_time' => microtime(true),
    ]));
}
