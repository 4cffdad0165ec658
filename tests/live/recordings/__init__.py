"""Real calls with sound, recorded by MixMonitor as FreePBX has it done: what of them reaches the CRM."""
