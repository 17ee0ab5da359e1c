<?php
// What PHP's own development server answers with: one request at a time.
header('Content-Type: text/plain');
echo 'server ', getenv('INSTANCE_ID'), "\n";
