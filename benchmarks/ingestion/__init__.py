"""Taking events under faults and under load: processes to kill, proxies that lose, senders."""
