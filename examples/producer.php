<?php
// Requests certificates from certworker in PHP, with the extension php-redis.
//
//   php producer.php api.example.org shop.example.org

$redis = new Redis();
$redis->connect(getenv('_APP_REDIS_HOST') ?: 'redis', (int) (getenv('_APP_REDIS_PORT') ?: 6379));
if ($password = getenv('_APP_REDIS_PASS')) {
    $redis->auth([getenv('_APP_REDIS_USER') ?: 'default', $password]);
}

// The id names the user of Redis, so that no other producer can read or change the job (docs/guides/redis.md).
$user = getenv('_APP_REDIS_USER');
$prefix = 'issue-' . (preg_match('/^[A-Za-z0-9]+$/', $user ?: '') && $user !== 'default' ? "$user-" : '');

foreach (array_slice($argv, 1) as $domain) {
    $id = $prefix . substr(hash('sha256', $domain), 0, 32);
    $call = ['certworker.issue', null, [], ['domain' => $domain]];
    $job = [
        'data' => gzcompress(json_encode($call)),
        'origin' => 'certificates',
        'status' => 'queued',
        'created_at' => gmdate('Y-m-d\TH:i:s.u\Z'),
    ];
    // One request is one hash and its id at the end of a list, written together or not at all.
    $redis->watch("rq:job:$id");
    if ($redis->hGet("rq:job:$id", 'status') === 'queued') {
        $redis->unwatch();
        $queued = false;
    } else {
        $redis->multi();
        $redis->del("rq:job:$id");
        $redis->hMSet("rq:job:$id", $job);
        $redis->expire("rq:job:$id", 86400);
        $redis->rPush('rq:queue:certificates', $id);
        $queued = $redis->exec() !== false; // false: another request was faster
    }
    echo $domain, $queued ? ': requested' : ': is on the queue already', ", job $id\n";
}
