"""The command ``ocppj``: see, try, check and replay OCPP. Each command is one module; `main` finds it."""
