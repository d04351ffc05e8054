<?php
// A sample app: the front controller that answers every path which is no file.
require __DIR__ . '/../src/greeting.php';
header('Content-Type: text/plain; charset=utf-8');
if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/slow') {
    sleep(1);
    echo "slow but complete\n";
} else {
    echo greeting('PHP ' . PHP_MAJOR_VERSION), ', over ', empty($_SERVER['HTTPS']) ? 'http' : 'https', "\n";
}
