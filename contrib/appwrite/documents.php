<?php
// Writes the documents with the classes in Appwrite's image (1.5 to 1.7). Another release may open its database in
// another way: see its app/cli.php.

use Utopia\Cache\Adapter\None;
use Utopia\Cache\Cache;
use Utopia\Database\Database;
use Utopia\Database\DateTime;
use Utopia\Database\Document;
use Utopia\Database\Query;
use Utopia\Database\Validator\Authorization;

require_once '/usr/src/code/app/init.php';

Authorization::disable();
$database = new Database($register->get('pools')->get('console')->pop()->getResource(), new Cache(new None()));
$database->setNamespace('_console');

return new class ($database) implements Documents {
    public function __construct(private Database $database)
    {
    }

    public function update(string $domain, array $certificate, string $status): void
    {
        $certificate['updated'] = DateTime::now();
        $known = $this->database->find('certificates', [Query::equal('domain', [$domain]), Query::limit(1)]);
        $document = $known
            ? $this->database->updateDocument('certificates', $known[0]->getId(), new Document([
                ...$known[0]->getArrayCopy(), ...$certificate,
            ]))
            : $this->database->createDocument('certificates', new Document($certificate));
        foreach ($this->database->find('rules', [Query::equal('domain', [$domain]), Query::limit(1)]) as $rule) {
            $rule->setAttribute('certificateId', $document->getId())->setAttribute('status', $status);
            $this->database->updateDocument('rules', $rule->getId(), $rule);
        }
    }
};
