"""The AT Protocol vocabulary of the project: pure values, no socket, no clock, no environment."""
