"""The API's resources, a module for each kind.

Reading answers with what is. Changing (POST, PUT, PATCH, DELETE) waits for the switch, then answers a Change.
"""

from fastapi import APIRouter

from controller.api.routes import backends, configuration, diagnosis, events, flows, present, replica, vips

router = APIRouter(prefix="/v1")
for part in (present, diagnosis, configuration, backends, flows, vips, events, replica):
    router.include_router(part.router)
