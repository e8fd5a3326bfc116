"""What people see in a browser. As a package, so that the browser ends with its last test."""
