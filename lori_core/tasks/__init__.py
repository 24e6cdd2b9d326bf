"""Tasks: mini tasks, public sets, the user's own files; prompts in versions; scorers. One file a family."""
