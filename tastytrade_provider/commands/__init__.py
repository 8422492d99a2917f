"""What the commands of the command line do. One file a command; `cli` holds their options."""
