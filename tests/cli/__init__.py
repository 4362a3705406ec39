"""The commands on a terminal, without a store behind them."""
