"""People who ask the bot for as long as a story lasts."""

from slack_mcp.simulator import Simulator, Workspace


class People:
    """Ask one question after the other, each in a direct message, until it is enough."""

    def __init__(self, simulator: Simulator, workspace: Workspace) -> None:
        self._simulator = simulator
        self._workspace = workspace
        self.accepted: list[str] = []
        self.asked = 0
        self.is_enough = False

    async def ask(self, person: str) -> None:
        channel = self._workspace.open_im(person).channel_id
        root: str | None = None
        while not self.is_enough:
            posted = self._workspace.say(person, channel, f"question {self.asked}", root)
            root = root or posted.message.ts
            self.asked += 1
            for envelope in posted.envelopes:
                assert (await self._simulator.deliver(self._workspace.team_id, envelope)).is_accepted
                self.accepted.append(envelope["event_id"])
            await self._simulator.wait_for_answer(
                self._workspace.team_id, channel, root, text=posted.message.text, timeout_s=60
            )
