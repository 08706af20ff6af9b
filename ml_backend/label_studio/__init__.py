"""Label Studio's formats and API: tasks, label configs, regions, tokens, connections and events. No other package knows them."""
