// A sample app: it listens where it is told, and at SIGTERM finishes what it is answering.
const http = require('node:http');
const greeting = require('greeting');

const server = http.createServer((req, res) => {
  const answer = (text) => {
    res.setHeader('Content-Type', 'text/plain; charset=utf-8');
    res.end(text + '\n');
  };
  if (req.url === '/slow') {
    setTimeout(() => answer('slow but complete'), 1000);
  } else {
    answer(greeting(`Node.js ${process.versions.node.split('.')[0]}`));
  }
});

server.listen(process.env.PORT || 8080, () => console.log('hello: listening on', server.address().port));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
