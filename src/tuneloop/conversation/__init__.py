"""What is said between a client and a model: turns, calls of tools, thoughts, and their template.

The lowest room that knows of chats: how a row is read, trained, asked, served and captured all
speak of the same turns.
"""

from tuneloop.conversation.messages import Message, ToolCall, answer_turn, calls_text

__all__ = ["Message", "ToolCall", "answer_turn", "calls_text"]
