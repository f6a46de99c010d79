"""Health checks: what is asked (`checks`), when a verdict falls (`rise_fall`), who asks when (`monitor`)."""
