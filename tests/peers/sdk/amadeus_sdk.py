"""amadeus, Amadeus' own."""

from loopback import Recorder, drive


def client_credentials(values):
    from amadeus import Client

    Recorder.aside["/v1/reference-data"] = {"data": []}
    client = Client(
        client_id=values["client_id"], client_secret=values["client_secret"], hostname="production"
    )
    client.get("/v1/reference-data/urls/checkin-links")


drive(amadeus=client_credentials)
