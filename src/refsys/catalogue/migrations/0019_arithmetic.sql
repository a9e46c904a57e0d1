-- Arithmetic in filters. Numbers have 20 decimals and lie within 1e100 on both sides of zero: what is further off counts
-- as that. What has no result (division by zero, roots of negative numbers) is NULL: no row can make a query fail.
CREATE FUNCTION catalogue.calculate(op text, one numeric, other numeric)
RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    most CONSTANT numeric := 1e100;
    a numeric := round(least(greatest(one, -most), most), 20);
    b numeric := round(least(greatest(other, -most), most), 20);
    digits numeric;
    found numeric;
BEGIN
    IF op = '+' THEN found := a + b;
    ELSIF op = '-' THEN found := a - b;
    ELSIF op = '*' THEN found := a * b;
    ELSIF op = '^' THEN
        IF b = 0 THEN RETURN 1; END IF;
        IF a = 0 THEN RETURN CASE WHEN b > 0 THEN 0 END; END IF;
        IF a < 0 AND b <> trunc(b) THEN RETURN NULL; END IF;
        digits := b * log(abs(a));
        found := CASE WHEN digits > 100 THEN most WHEN digits < -21 THEN 0 ELSE power(abs(a), b) END;
        IF a < 0 AND mod(b, 2) <> 0 THEN found := -found; END IF;
    ELSIF b = 0 THEN RETURN NULL;
    ELSIF op = '/' THEN found := a / b;
    ELSIF op = 'div' THEN found := div(a, b);
    ELSIF op = '%' THEN found := mod(a, b);
    END IF;
    RETURN round(least(greatest(found, -most), most), 20);
END $$;
