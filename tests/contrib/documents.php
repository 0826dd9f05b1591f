<?php
// Documents for the tests: a list in Redis.

return new class implements Documents {
    public function update(string $domain, array $certificate, string $status): void
    {
        $redis = new Redis();
        $redis->connect('127.0.0.1', (int) getenv('_APP_REDIS_PORT'));
        $redis->rPush('test:documents', json_encode([$domain, $certificate, $status]));
    }
};
