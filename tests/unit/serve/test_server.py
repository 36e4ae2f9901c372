"""The socket of the server, and what its handlers read from an address."""

import asyncio
import inspect
import socket

from starlette.responses import Response

from mt.serve.app import Service, page
from mt.serve.server import bind


def test_answers_do_not_wait_for_the_clients_acknowledgement():
    """asyncio sets TCP_NODELAY on what a socket accepts only if the socket was made with its protocol by name."""

    async def option_of_a_connection():
        found = asyncio.get_running_loop().create_future()

        async def accepted(reader, writer):
            accepted_socket = writer.get_extra_info("socket")
            found.set_result(accepted_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        bound = bind("127.0.0.1", 0)
        async with await asyncio.start_server(accepted, sock=bound):
            _, writer = await asyncio.open_connection(*bound.getsockname())
            option = await found
            writer.close()
            return option

    assert asyncio.run(option_of_a_connection()) != 0


def test_handlers_take_the_request_alone():
    """FastAPI fills any other parameter from the address, whatever its default was meant for."""
    of_paths = [one for one in vars(Service).values() if inspect.iscoroutinefunction(one)]
    of_paths = [one for one in of_paths if inspect.signature(one).return_annotation is Response]
    of_files = [answer for _, answer in page()]
    assert len(of_paths) == 11 and len(of_files) == 6
    assert {tuple(inspect.signature(one).parameters) for one in of_paths} == {("self", "request")}
    assert {tuple(inspect.signature(one).parameters) for one in of_files} == {("request",)}
