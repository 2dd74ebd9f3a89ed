-- The sums of the whole tenant by a name of their own.
CREATE VIEW whole_usage AS
SELECT * FROM hourly_usage WHERE lane < 0;
