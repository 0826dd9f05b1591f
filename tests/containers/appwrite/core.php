<?php
// The part of Appwrite's core for a CA: it serves challenge responses from the webroot.

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (preg_match('#^/\.well-known/acme-challenge/[0-9A-Za-z_-]{1,100}$#', $path) && is_file("/storage/certificates$path")) {
    header('Content-Type: text/plain');
    readfile("/storage/certificates$path");
} else {
    http_response_code(404);
}
