"""The demo: drawn scenes, the demo detector and the real server, offline."""
