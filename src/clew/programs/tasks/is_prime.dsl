task is_prime (n: int) -> bool
about     Whether n is a prime number.
requires  0 <= n && n <= 200
example   1 -> false
example   2 -> true
example   9 -> false
example   13 -> true
example   15 -> false
reference 1 < n && not (any (\x -> n % x == 0) (drop 2 (range n)))
