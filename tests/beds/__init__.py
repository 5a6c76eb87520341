"""What tests are run on: real schedulers, in a scratch folder on this machine."""
