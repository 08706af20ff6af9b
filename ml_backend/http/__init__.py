"""Limits for HTTP clients: bounded bodies, the address guard and retries. It knows neither Label Studio nor images."""
