"""Containers of Azure Blob Storage: how to open one."""
