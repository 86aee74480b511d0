-- realtime.issue_token

create function from_base64url(value text) returns bytea language sql as $$
	select decode(rpad(translate(value, '-_', '+/'), (length(value) + 3) / 4 * 4, '='), 'base64')
$$;
create function claims_of(token text) returns jsonb language sql as $$
	select convert_from(from_base64url(split_part(token, '.', 2)), 'utf8')::jsonb
$$;
-- HMAC-SHA256 with a key of at most 64 bytes
create function hmac_sha256(message bytea, key bytea) returns bytea language plpgsql as $$
declare
	inner_pad bytea := decode(repeat('36', 64), 'hex');
	outer_pad bytea := decode(repeat('5c', 64), 'hex');
begin
	for i in 0 .. length(key) - 1 loop
		inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(key, i));
		outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(key, i));
	end loop;
	return sha256(outer_pad || sha256(inner_pad || message));
end
$$;

select realtime.issue_token('anon') as token \gset
select convert_from(from_base64url(split_part(:'token', '.', 1)), 'utf8') as header;
select from_base64url(split_part(:'token', '.', 3)) =
	hmac_sha256(convert_to(split_part(:'token', '.', 1) || '.' || split_part(:'token', '.', 2), 'utf8'),
		'regression-test-secret-of-more-than-32-bytes') as signature_is_right;
select claims_of(:'token') - 'iat' - 'exp' as claims,
	(claims_of(:'token') ->> 'exp')::int - (claims_of(:'token') ->> 'iat')::int as lifetime,
	abs((claims_of(:'token') ->> 'iat')::int - extract(epoch from now())) < 60 as issued_now;

-- claims of one's own; role, iat and exp are ours
select claims_of(realtime.issue_token('authenticated', '{"sub": "é\"", "n": 1, "role": "postgres", "exp": 1}', '1 day')) - 'iat' - 'exp';
-- a lifetime in the past, for tests
select (claims ->> 'exp')::int - (claims ->> 'iat')::int as lifetime
from claims_of(realtime.issue_token('anon', expires_in => '-5 s')) claims;

select realtime.issue_token(null);
select realtime.issue_token('anon', null);
select realtime.issue_token('anon', '[]');
select realtime.issue_token('anon', '{}', null);
select realtime.issue_token('anon', jsonb_build_object('x', repeat('x', 20000)));

-- no secret, and one that is too short; a session reads the configuration between two statements
alter system set realtime.jwt_secret = 'too short';
alter system set realtime.jwt_secret = '';
select pg_reload_conf();
\o /dev/null
select $$ select pg_sleep(case when current_setting('realtime.jwt_secret') = '' then 0 else 0.02 end) $$ from generate_series(1, 1000) \gexec
\o
select realtime.issue_token('anon');
alter system reset realtime.jwt_secret;
select pg_reload_conf();
\o /dev/null
select $$ select pg_sleep(case when current_setting('realtime.jwt_secret') <> '' then 0 else 0.02 end) $$ from generate_series(1, 1000) \gexec
\o
-- what is shown of it
select setting from pg_settings where name = 'realtime.jwt_secret';
