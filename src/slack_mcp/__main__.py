"""`python -m slack_mcp` is `slack-mcp`."""

from slack_mcp.cli import main

if __name__ == "__main__":
    main()
