'use strict';

// One site, its jobs, and an API in Python.
module.exports = {
  apps: [
    {
      name: 'site',
      script: './dist/server.js',
      instances: 'max',
      exec_mode: 'cluster',
      max_memory_restart: '512M',
      kill_timeout: 15000,
      listen_timeout: 10000,
      wait_ready: true,
      node_args: '--enable-source-maps',
      env: {
        NODE_ENV: 'development',
        PORT: 3000,
      },
      env_production: {
        NODE_ENV: 'production',
      },
      out_file: '/var/log/site/out.log',
      error_file: '/var/log/site/error.log',
      merge_logs: true,
      time: true,
    },
    {
      name: 'mailer',
      script: 'jobs/mailer.js',
      cron_restart: '0 4 * * *',
      exp_backoff_restart_delay: 200,
    },
    {
      name: 'reports',
      script: 'reports.py',
      interpreter: 'python3',
      args: ['--port', 5001, '--quiet'],
      watch: false,
      autorestart: true,
      max_restarts: 10,
    },
  ],

  deploy: {
    production: { user: 'deploy', host: 'one.example' },
  },
};
