"""What shows that a lake is true: verification, checks, what is known of every stream, the doctor."""
