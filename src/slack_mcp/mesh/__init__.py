"""Mesh (Studio): its tokens, its management tools and its agents' streams."""
