"""install.sh, and the dialplan that it installs, on real machines."""
