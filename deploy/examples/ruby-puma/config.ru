# A Rack application for one of several Puma workers.
name = "server #{ENV.fetch('INSTANCE_ID', '?')}\n"

run ->(_environment) { [200, { 'content-type' => 'text/plain' }, [name]] }
