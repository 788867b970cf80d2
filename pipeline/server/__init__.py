"""HTTP: the API's client, the budget of requests, downloads of archive files. Only here is httpx."""
