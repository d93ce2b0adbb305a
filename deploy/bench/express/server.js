'use strict';
// A webhook receiver on Express and amqplib, as a competent developer writes it: verify the signature over the raw
// body, publish with a confirm, answer 200 only then. Here to be measured beside sapo-sync; see ../README.md.
//
//   PORT=8081 AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2f QUEUE=bench-express SECRET=… WORKERS=1 node server.js

const cluster = require('node:cluster');
const crypto = require('node:crypto');
const amqp = require('amqplib');
const express = require('express');

const PORT = Number(process.env.PORT ?? 8081);
const HOST = process.env.HOST ?? '127.0.0.1';
const AMQP_URL = process.env.AMQP_URL ?? 'amqp://guest:guest@127.0.0.1:5672/%2f';
const QUEUE = process.env.QUEUE ?? 'bench-express';
const SECRET = process.env.SECRET;
const WORKERS = Number(process.env.WORKERS ?? 1);
// Sapo gives up after 5 s.
const CONFIRM_TIMEOUT_MS = 4000;

if (!SECRET) {
  console.error('SECRET is not set: the secret that signs the webhooks');
  process.exit(2);
}

/** Keeps one confirm channel open, and publishes on it. */
class Publisher {
  #channel = null;
  #returned = new Set();

  async start() {
    const connection = await amqp.connect(AMQP_URL, {
      noDelay: true,
      recovery: { initialDelay: 200, maxDelay: 2000, setup: (model) => this.#open(model) },
    });
    connection.on('error', (error) => console.error(`connection: ${error.message}`));
    connection.on('disconnect', () => {
      this.#channel = null;
    });
  }

  async #open(model) {
    const channel = await model.createConfirmChannel();
    channel.on('error', (error) => console.error(`channel: ${error.message}`));
    channel.on('close', () => {
      if (this.#channel === channel) this.#channel = null;
    });
    // The broker sends the return of an unroutable message before its confirm.
    channel.on('return', (message) => this.#returned.add(message.properties.messageId));
    await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    this.#channel = channel;
  }

  /** Resolves once the broker has confirmed; rejects on a nack, a return, a lost channel, and when it takes too long. */
  publish(body, topic) {
    const channel = this.#channel;
    if (!channel) return Promise.reject(new Error('no connection to the broker'));
    const messageId = crypto.randomUUID();
    const options = {
      persistent: true,
      mandatory: true,
      messageId,
      contentType: 'application/json',
      type: topic,
      timestamp: Math.floor(Date.now() / 1000),
    };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the broker did not confirm in time')), CONFIRM_TIMEOUT_MS);
      channel.publish('', QUEUE, body, options, (error) => {
        clearTimeout(timer);
        if (error) reject(error);
        else if (this.#returned.delete(messageId)) reject(new Error('no queue took the message'));
        else resolve(messageId);
      });
    });
  }
}

function signatureIsRight(body, header) {
  if (typeof header !== 'string') return false;
  const expected = crypto.createHmac('sha256', SECRET).update(body).digest();
  const given = Buffer.from(header, 'base64');
  return given.length === expected.length && crypto.timingSafeEqual(given, expected);
}

async function serve() {
  const publisher = new Publisher();
  await publisher.start();

  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.post('/webhooks/omni/:shop', express.raw({ type: () => true, limit: '1mb', inflate: false }), async (req, res) => {
    const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0);
    if (!signatureIsRight(body, req.get('x-sapo-hmac-sha256'))) {
      return res.status(401).json({ error: 'unauthorised' });
    }
    try {
      res.json({ id: await publisher.publish(body, req.get('x-sapo-topic') ?? '') });
    } catch (error) {
      console.error(`not kept: ${error.message}`);
      res.set('Retry-After', '5').status(503).json({ error: 'not now' });
    }
  });
  const server = app.listen(PORT, HOST, (error) => {
    if (error) throw error;
    console.log(`express listens on ${HOST}:${PORT} (process ${process.pid})`);
  });
  server.keepAliveTimeout = 65_000;
}

if (WORKERS > 1 && cluster.isPrimary) {
  for (let i = 0; i < WORKERS; i += 1) cluster.fork();
  cluster.on('exit', (worker, code) => {
    if (!worker.exitedAfterDisconnect) {
      console.error(`worker ${worker.process.pid} ended with ${code}`);
      process.exit(1);
    }
  });
} else {
  serve().catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
}
