<?php
// Ask certworker for certificates from PHP (needs the extension php-redis).
//
//   php producer.php api.example.org shop.example.org

$redis = new Redis();
$redis->connect(getenv('_APP_REDIS_HOST') ?: 'redis', (int) (getenv('_APP_REDIS_PORT') ?: 6379));
if ($password = getenv('_APP_REDIS_PASS')) {
    $redis->auth([getenv('_APP_REDIS_USER') ?: 'default', $password]);
}

// One request is one hash and its id at the end of a list, written together or not at all.
const ENQUEUE = <<<'LUA'
    if redis.call('HGET', KEYS[1], 'status') == 'queued' then return 0 end -- it is asked for already
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], unpack(ARGV, 2))
    redis.call('EXPIRE', KEYS[1], 86400)
    redis.call('RPUSH', KEYS[2], ARGV[1])
    return 1
    LUA;

foreach (array_slice($argv, 1) as $domain) {
    $id = 'request-' . hash('sha256', $domain);
    $call = ['certworker.issue', null, [], ['domain' => $domain]];
    $job = [
        'data' => gzcompress(json_encode($call)),
        'origin' => 'certificates',
        'status' => 'queued',
        'created_at' => gmdate('Y-m-d\TH:i:s.u\Z'),
    ];
    $flat = array_merge(...array_map(null, array_keys($job), array_values($job)));
    $queued = $redis->eval(ENQUEUE, ["rq:job:$id", 'rq:queue:certificates', $id, ...$flat], 2);
    echo $domain, $queued ? ': requested' : ': is on the queue already', ", job $id\n";
}

// Where scripts are not allowed, the same in plain commands, with an id that nobody else uses:
//
//   $redis->multi()->hMSet("rq:job:$id", $job)->rPush('rq:queue:certificates', $id)->exec();
