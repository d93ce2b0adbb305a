"""A webhook receiver on FastAPI, uvicorn and aio-pika, as a competent developer writes it.

Verifies the signature over the raw body, publishes with a confirm, answers 200 only then. Here to be measured beside
sapo-sync; see ../README.md.

    PORT=8082 AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2f QUEUE=bench-fastapi SECRET=… WORKERS=1 python app.py
"""

import base64
import hashlib
import hmac
import logging
import os
import sys
import uuid
from contextlib import asynccontextmanager

import aio_pika
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

PORT = int(os.environ.get("PORT", "8082"))
HOST = os.environ.get("HOST", "127.0.0.1")
AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")
QUEUE = os.environ.get("QUEUE", "bench-fastapi")
SECRET = os.environ.get("SECRET", "").encode()
WORKERS = int(os.environ.get("WORKERS", "1"))
MAX_BODY = 1024 * 1024
# Sapo gives up after 5 s.
CONFIRM_TIMEOUT = 4

log = logging.getLogger("bench")


@asynccontextmanager
async def lifespan(app: FastAPI):
    """One robust connection and one confirm channel for each process."""
    connection = await aio_pika.connect_robust(AMQP_URL, reconnect_interval=0.5)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        app.state.exchange = channel.default_exchange
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


def signature_is_right(body: bytes, header: str | None) -> bool:
    if header is None:
        return False
    expected = base64.b64encode(hmac.new(SECRET, body, hashlib.sha256).digest())
    return hmac.compare_digest(expected, header.encode())


@app.post("/webhooks/omni/{shop}")
async def webhook(shop: str, request: Request) -> Response:
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > MAX_BODY:
        return JSONResponse({"error": "the body is over 1 MiB"}, status_code=413)
    body = await request.body()
    if not signature_is_right(body, request.headers.get("x-sapo-hmac-sha256")):
        return JSONResponse({"error": "unauthorised"}, status_code=401)
    message = aio_pika.Message(
        body,
        message_id=str(uuid.uuid4()),
        content_type="application/json",
        type=request.headers.get("x-sapo-topic", ""),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    try:
        # Awaits the confirm; a nack and a returned message raise.
        await app.state.exchange.publish(message, routing_key=QUEUE, mandatory=True, timeout=CONFIRM_TIMEOUT)
    except Exception as error:  # whatever the broker's trouble is, the sender must come back
        log.error("not kept: %r", error)
        return JSONResponse({"error": "not now"}, status_code=503, headers={"Retry-After": "5"})
    return JSONResponse({"id": message.message_id})


if __name__ == "__main__":
    if not SECRET:
        sys.exit("SECRET is not set: the secret that signs the webhooks")
    uvicorn.run(
        "app:app",
        host=HOST,
        port=PORT,
        workers=WORKERS,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
