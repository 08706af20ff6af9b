"""Limits for HTTP clients: bounded bodies and the address guard. It knows neither Label Studio nor images."""
