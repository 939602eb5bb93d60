"""What others see of a server while it runs. Libraries that only this needs are imported when it is switched on."""
