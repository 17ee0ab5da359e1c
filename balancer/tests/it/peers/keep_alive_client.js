// 500 requests, GET and POST in turn, over an agent of 8 sockets that stay open; says how it went.
// Usage: keep_alive_client.js ADDRESS
'use strict';

const http = require('node:http');

const [host, port] = process.argv[2].split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const sockets = new Set();
let answers = 0;
let right = 0;
let most = 0;

function ask(number) {
  const method = number % 2 ? 'POST' : 'GET';
  const path = method === 'POST' ? '/echo' : '/hello';
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path, agent }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (piece) => { body += piece; });
      response.on('end', () => {
        const good = method === 'POST' ? body.endsWith(`\n\nmessage ${number}`) : body === 'hello world';
        answers += 1;
        right += response.statusCode === 200 && good ? 1 : 0;
        resolve();
      });
      response.on('error', reject);
    });
    request.on('socket', (socket) => {
      sockets.add(socket);
      most = Math.max(most, Object.values(agent.sockets).flat().length);
    });
    request.on('error', reject);
    request.end(method === 'POST' ? `message ${number}` : undefined);
  });
}

Promise.all(Array.from({ length: 500 }, (_, number) => ask(number))).then(() => {
  console.log(`${answers} answers, ${right} right, at most ${most} sockets, ${sockets.size} connections`);
  agent.destroy();
});
