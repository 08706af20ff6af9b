"""The whole job in a minute, offline: drawn scenes, the demo detector, the real server, tasks over HTTP, a table and a picture."""
