"""The protocols of annotation tools: their own clients work here unchanged. One module or package a tool."""
