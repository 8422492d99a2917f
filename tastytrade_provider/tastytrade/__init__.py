"""TastyTrade: login, contracts and the live stream."""
