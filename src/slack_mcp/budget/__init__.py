"""The budget of calls to Slack that all pods share."""
